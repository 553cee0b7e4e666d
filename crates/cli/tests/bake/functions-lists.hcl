target "default" {
  args = {
    concat = join(",", concat(["a"], ["b", "c"])), contains = contains(["a", "b"], "b"), not = contains(["a"], "x")
    coalesce = coalesce(null, "x", "y"), coalescelist = join(",", coalescelist([], ["z"])), compact = join(",", compact(["a", "", "b"]))
    distinct = join(",", distinct(["b", "a", "b"])), element = element(["a", "b", "c"], 4), flatten = join(",", flatten([["a"], [["b"], "c"]]))
    hasindex = hasindex(["a"], 1), index = index(["a", "b"], 1), length = length(["a", "b"])
    reverselist = join(",", reverselist(["a", "b"])), slice = join(",", slice(["a", "b", "c"], 1, 3)), sort = join(",", sort(["b", "a", "B"]))
    range = join(",", range(3)), range2 = join(",", range(1, 4)), range3 = join(",", range(10, 4, -3)), rangedown = join(",", range(-2))
    chunk = jsonencode(chunklist(["a", "b", "c"], 2)), product = jsonencode(setproduct(["a", "b"], ["x", "y"]))
    union = join(",", setunion(["b", "a"], ["c", "a"])), inter = join(",", setintersection(["b", "a"], ["a"])), minus = join(",", setsubtract(["b", "a"], ["a"]))
    either = join(",", setsymmetricdifference(["b", "a"], ["a", "z"]))
  }
}
