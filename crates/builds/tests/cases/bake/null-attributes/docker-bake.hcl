variable "T" { default = "" }
target "_b" {
  target     = "t"
  dockerfile = "D"
  platforms  = ["linux/arm64"]
}
target "default" {
  inherits   = ["_b"]
  target     = null
  dockerfile = T != "" ? T : null
  platforms  = null
  args       = null
}
