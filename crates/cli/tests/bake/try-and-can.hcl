m = { a = "1" }
target "default" { args = { t = try(m.b, "fallback"), c = can(m.b), d = can(m.a) } }
