variable "DEBUG" { default = false }
target "default" {
  args = {
    a = DEBUG ? "yes" : "no"
    b = DEBUG ? 1 : "one"
    c = !DEBUG ? "yes" : ""
    d = DEBUG && true || false
    e = 1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3
    f = "a" == "a" ? (1 != 2 ? "both" : "one") : "none"
    g = "1" == 1
    h = null == null
  }
  target = DEBUG ? null : "other"
}
