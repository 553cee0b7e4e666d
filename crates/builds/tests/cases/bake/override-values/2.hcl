variable "NAME" { default = "two" }
where = "second"
