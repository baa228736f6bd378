# In the place of srun or ssh: carries to one host what its agent is to know, and ends with the pilot or the agent.
# It keeps its output open meanwhile, at which the pilot sees that it is there. Its first word is the named pipe of the host; the command that would start the agent there follows.
echo $$ >"$1" && exec cat 3>&1 >"$1"
