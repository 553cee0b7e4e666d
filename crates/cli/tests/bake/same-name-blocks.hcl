target "default" {
  context = "one"
  args    = { A = "1", B = "1" }
  platforms = ["linux/amd64"]
}
target "default" {
  args      = { B = "2" }
  platforms = ["linux/arm64"]
  target    = "t"
}
group "g" { targets = ["default"] }
