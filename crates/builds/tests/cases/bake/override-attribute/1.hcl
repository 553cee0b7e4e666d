variable "NAME" { default = "one" }
target "default" { args = { name = NAME } }
