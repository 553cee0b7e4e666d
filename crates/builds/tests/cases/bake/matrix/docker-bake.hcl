group "default" { targets = ["app"] }
target "app" {
  name   = "app-${tgt}-${replace(version, ".", "-")}"
  matrix = {
    tgt     = ["lint", "test"]
    version = ["1.22", "1.23"]
  }
  target = tgt
  args   = { GO = version }
}
