variable "TAG" { default = "one" }
registry = "first"
group "default" { targets = ["a"] }
target "a" {
  context = "ctx"
  args    = { A = "1", B = "1" }
}
target "b" { target = "b" }
