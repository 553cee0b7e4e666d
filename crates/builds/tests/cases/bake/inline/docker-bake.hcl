target "default" {
  dockerfile-inline = "FROM scratch\nCOPY $${X} /"
}
