variable "VERSIONS" { default = "3.2,3.3" }
function "clean" {
  params = [v]
  result = replace(v, ".", "_")
}
group "default" { targets = ["all", "extra"] }
target "all" {
  name       = "ruby${clean(v)}"
  matrix     = { v = split(",", VERSIONS) }
  inherits   = ["_base"]
  dockerfile = v == "3.2" ? "Dockerfile.old" : "Dockerfile"
  args       = { V = v }
}
target "_base" { args = { COMMON = "1" } }
target "extra" { contexts = { ruby = "target:ruby3_3" } }
