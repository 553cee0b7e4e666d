variable "NOW" { default = timestamp() }
target "default" {
  labels = { created = NOW, again = timestamp() }
  tags   = ["x:${formatdate("YYYY", NOW)}"]
  args   = { A = "1" }
}
