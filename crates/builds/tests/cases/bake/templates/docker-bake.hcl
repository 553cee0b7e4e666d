variable "X" { default = "x" }
list = ["a", "b"]
target "default" {
  args = {
    plain    = "no template"
    escaped  = "$${X} %%{X} \"q\" \\ \u00e9"
    wrapped  = "${true}"
    mixed    = "${X}-${1 + 1}-${true}"
    nested   = "${"in ${upper("${X}y")}"}"
    if       = "%{ if X == "x" }yes%{ else }no%{ endif }"
    ifonly   = "a%{ if X == "y" }yes%{ endif }b"
    for      = "%{ for v in list }<${v}>%{ endfor }"
    forkey   = "%{ for i, v in list }${i}=${v};%{ endfor }"
    strip    = "a  ${~ X ~}  b"
    stripfor = "%{ for v in list ~} ${v} %{~ endfor }"
  }
}
