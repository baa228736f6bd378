class Dragon:
    pass
