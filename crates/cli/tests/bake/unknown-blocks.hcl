locals { x = 1 }
target "default" { args = { A = "1" } }
