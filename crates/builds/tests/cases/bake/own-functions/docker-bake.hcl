variable "PREFIX" { default = "p" }
function "add" {
  params = [a, b]
  result = a + b
}
function "tag" {
  params          = [name]
  variadic_params = rest
  result          = join("-", concat([PREFIX, name], rest))
}
function "twice" {
  params = [x]
  result = add(x, x)
}
function "none" {
  params = []
  result = "n"
}
target "default" {
  args = { a = add(1, 2), b = tag("x"), c = tag("x", "y", "z"), d = twice(twice(2)), e = none(), f = tag(["q", "r"]...) }
}
