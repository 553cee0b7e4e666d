target "default" {
  name   = "app-${item.name}"
  matrix = { item = [{ name = "a", port = 80 }, { name = "b", port = 81 }] }
  args   = { PORT = item.port, NAME = item.name }
}
