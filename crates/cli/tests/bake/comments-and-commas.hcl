# one
// two
/* three
   lines */
target "default" { // here
  args = {
    A : "colon", "B" = "quoted", ("C") = "parens",
    D = "x" # after
  }
  platforms = [
    "linux/amd64", # one
    "linux/arm64",
  ]
}
