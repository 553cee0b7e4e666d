target "default" {
  matrix = { x = ["only"] }
  args   = { X = x }
}
