target "default" {
  args = {
    b64 = base64encode("hello"), unb64 = base64decode("aGVsbG8="), sha256 = sha256("x"), sha1 = sha1("x"), sha512 = sha512("x")
    url = urlencode("a b&c/d"), json = jsonencode({ b = [1, "x<y>", true, null], a = {} }), unjson = jsondecode("{\"k\": [1, 2]}").k[1]
    short = substr(sha256("x"), 0, 12)
  }
}
