target "a" {
  context = "actx"
  args    = { V = "1", W = "${1 + 1}" }
  tags    = ["t1", "t2"]
}
target "default" {
  context = target.a.context
  args    = { V = "${target.a.args.V}0", W = target.a.args.W, tag = target.a.tags[1] }
}
