target "default" {
  context = "${BAKE_CMD_CONTEXT}sub"
  args    = { linux = split("/", BAKE_LOCAL_PLATFORM)[0] }
}
