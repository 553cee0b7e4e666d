variable "V" { default = "3.3" }
target "default" {
  dockerfile-inline = <<EOT
FROM ruby:${V}
RUN echo "$${HOME}"
  COPY . .
EOT
  args = {
    dedented = <<-EOT
      one
        two
      three
    EOT
  }
}
