list = [{ n = "a", t = [1, 2] }, { n = "b", t = [3] }]
map  = { one = { two = "deep" }, "with-dash" = "d" }
target "default" {
  args = {
    index = list[1].n, nested = map.one.two, dash = map["with-dash"], dynamic = map["o${"ne"}"].two
    splat = join(",", list[*].n), attr = join(",", list.*.n), inner = join(",", list[*].t[0])
    legacy = list.0.n, scalar = join(",", "x"[*]), call = split(",", "p,q")[1]
  }
}
