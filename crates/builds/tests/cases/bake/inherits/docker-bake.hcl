target "_common" {
  context   = "c"
  platforms = ["linux/amd64"]
  args      = { A = "common", B = "common", C = "common" }
  contexts  = { one = "docker-image://a", two = "docker-image://b" }
}
target "_release" {
  dockerfile = "Dockerfile.release"
  platforms  = ["linux/amd64", "linux/arm64"]
  args       = { B = "release" }
}
target "default" {
  inherits = ["_common", "_release"]
  args     = { C = "own", A = null }
  contexts = { two = "docker-image://c" }
}
