variable "NAME" { default = "declared" }
NAME = "assigned"
target "default" { args = { name = NAME } }
