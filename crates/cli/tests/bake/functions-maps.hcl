m = { b = "2", a = "1" }
target "default" {
  args = {
    keys = join(",", keys(m)), values = join(",", values(m)), lookup = lookup(m, "a", "none"), missing = lookup(m, "z", "none")
    merge = jsonencode(merge(m, { c = "3" }, { a = "9" })), zipmap = jsonencode(zipmap(["x", "y"], ["1", "2"]))
  }
}
