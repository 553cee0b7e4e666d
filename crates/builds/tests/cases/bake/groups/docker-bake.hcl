group "default" { targets = ["web", "tools"] }
group "tools" { targets = ["lint", "more"] }
group "more" { targets = ["lint", "fmt"] }
target "web" {}
target "lint" { target = "lint" }
target "fmt" { target = "fmt" }
target "unused" { context = "unused" }
