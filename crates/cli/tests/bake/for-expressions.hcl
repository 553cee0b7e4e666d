list = ["b", "a"]
map  = { z = "1", y = "2" }
target "default" {
  args = merge(
    { for v in list : upper(v) => v },
    { for k, v in map : "K${k}" => "${k}${v}" if v != "1" },
    { joined = join(",", [for v in list : "<${v}>"]), index = join(",", [for i, v in list : "${i}${v}"]) },
    { keys = join(",", [for k, v in map : k]) },
    { groups = jsonencode({ for v in ["aa", "ab", "bb"] : substr(v, 0, 1) => v... }) },
  )
}
