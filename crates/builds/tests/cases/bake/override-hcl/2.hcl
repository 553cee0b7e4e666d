variable "TAG2" { default = "two" }
group "default" { targets = ["a", "b"] }
target "a" { args = { B = "2", T = TAG2, R = registry } }
