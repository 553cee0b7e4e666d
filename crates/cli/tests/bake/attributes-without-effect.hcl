target "default" {
  attest     = ["type=provenance,mode=max"]
  cache-from = ["type=gha"]
  cache-to   = ["type=gha,mode=max"]
  output     = ["type=docker"]
  secret     = ["id=x,env=HOME"]
  pull       = true
  no-cache   = false
  shm-size   = "64m"
  ulimits    = ["nofile=1:1"]
  args       = { A = "1" }
}
