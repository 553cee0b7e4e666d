target "default" {
  attest     = ["type=provenance,mode=max"]
  cache-from = ["type=gha"]
  cache-to   = ["type=gha,mode=max"]
  output     = ["type=docker"]
  secret     = ["id=x,src=y"]
  ssh        = ["default"]
  pull       = true
  no-cache   = false
  shm-size   = "64m"
  ulimits    = ["nofile=1:1"]
  args       = { A = "1" }
}
