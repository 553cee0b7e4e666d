variable "NAME" { default = "one" }
where = "first"
target "default" { args = { name = NAME, where = where } }
