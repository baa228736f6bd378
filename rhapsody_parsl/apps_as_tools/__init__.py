"""Apps as tools of agents: what a model is told of an app, and how its call is made and waited for.

`signature` says what there is to choose, `call` makes the call. The server of the Model Context Protocol
(`cli/mcp.py`) stands on both, and so do the tools and nodes of LangGraph (`langgraph`).
"""
