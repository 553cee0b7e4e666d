images = ["a", "b"]
group "default" { targets = [for i in images : "img-${i}"] }
target "img" {
  name    = "img-${i}"
  matrix  = { i = images }
  context = "images/${i}"
}
