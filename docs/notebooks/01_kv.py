# %% [markdown]
# # Key-value store

# %%
print(1)
