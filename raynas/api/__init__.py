"""What a user asks for: the verbs, each of which puts the layers below together. Ray is loaded inside functions only.

Their public names are those of ``raynas`` itself; nothing is imported here, so that a worker loads what it needs and no more.
"""
