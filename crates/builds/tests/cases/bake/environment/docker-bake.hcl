variable "TAG" { default = "3.3" }
variable "DEBUG" { default = false }
variable "COUNT" { default = 3 }
variable "RATIO" { default = 2 }
variable "UNSET" {}
variable "EMPTY" { default = "x" }
variable "NULL" { default = null }
target "default" {
  args = {
    tag = TAG, debug = DEBUG, count = COUNT + 1, ratio = RATIO, unset = UNSET, empty = "[${EMPTY}]"
    null = NULL == null ? "none" : NULL
  }
}
