group "default" { targets = ["default", "b"] }
target "default" { context = "d" }
target "b" { context = "b" }
