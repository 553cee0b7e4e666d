target "default" { args = { W = "${V}${V}" } }
