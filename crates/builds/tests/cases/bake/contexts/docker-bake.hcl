target "base" { context = "base" }
target "deps" {
  context  = "deps"
  contexts = { base = "target:base" }
}
target "default" {
  contexts = { deps = "target:deps", alpine = "docker-image://alpine:3.20", src = "../src" }
}
