"""The other end of the road: arq jobs that send what waits in the lanes to Attentive."""
