target "a" { args = { A = "a", X = "a" } }
target "b" {
  inherits = ["a"]
  args     = { B = "b", X = "b" }
}
target "c" {
  inherits = ["a"]
  args     = { C = "c" }
}
target "default" { inherits = ["b", "c"] }
