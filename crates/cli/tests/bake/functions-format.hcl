target "default" {
  args = {
    a = format("%s-%d-%v", "x", 3, true), b = format("%05d|%-5s|%5s|", 42, "ab", "cd"), c = format("%q %%", "a\"b"), d = format("%.2f", 1.005)
    e = format("%[2]s %[1]s", "a", "b"), f = join(",", formatlist("%s:%s", "img", ["1", "2"])), g = format("%v", ["a", 1]), h = format("%#v", "x")
    i = format("%t", true), j = format("%x", 255), k = format("%s", 1.5), l = format("%+d", 3), m = format("%f", 1)
  }
}
