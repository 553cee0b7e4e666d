target "default" {
  context    = "app"
  dockerfile = "Dockerfile.app"
  target     = "release"
  platforms  = ["linux/amd64", "linux/arm64"]
  args       = { A = "1", B = 2, C = true, D = 1.50, E = null }
  tags       = ["x:1"]
}
