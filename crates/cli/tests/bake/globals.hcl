registry = "r.example"
image    = "${registry}/app"
variable "TAG" { default = "${image}:1" }
variable "LATE" { default = "${later}-x" }
later = "y"
target "default" { args = { image = image, late = LATE, tag = TAG } }
