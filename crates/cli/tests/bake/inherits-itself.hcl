target "default" {
  inherits = ["other"]
  args     = { A = "a" }
}
target "other" {
  inherits = ["default"]
  args     = { B = "b" }
}
