class VLLM:
    pass
