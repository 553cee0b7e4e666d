target "default" {
  args = {
    whole = regex("[0-9]+", "v12.3"), group = regex("v(\\d+)\\.(\\d+)", "v12.3")[1]
    named = regex("(?P<major>\\d+)\\.(?P<minor>\\d+)", "v12.3").minor
    all   = join(",", regexall("[a-z]", "a1b2c3")), none = length(regexall("x", "abc"))
    pairs = jsonencode(regexall("([a-z])([0-9])", "a1b2"))
  }
}
