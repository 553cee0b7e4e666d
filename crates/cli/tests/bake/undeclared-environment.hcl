TAG = "own"
target "default" { args = { tag = TAG } }
