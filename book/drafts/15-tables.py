T1 = '''table = nil.experiments.load_results("direct")
print(nil.experiments.provenance("direct"))
mnist = table[table["dataset"] == "mnist"]
print("seeds:", mnist["seed"].nunique(), "  unseen real digits:", 10 * nil.zeroshot.PER_CLASS)
methods = [method for method in nil.zeroshot.TRAININGS if method != "long"]
teachers = list(nil.zeroshot.CROSSED)
mean_of = mnist.groupby(["source", "method", "depth"])[["psnr", "ssim", "cycle", "agreement", "judge"]].mean()
for what, words in (("psnr", "PSNR, dB"), ("judge", "share that the judge reads as it reads the original")):
    for depth in (2, 4):
        rows = mean_of[what].xs(depth, level="depth").unstack("source").loc[methods, teachers]
        print(f"\\n{words}, from {depth} blocks deep:\\n{rows.round(1 if what == 'psnr' else 2).to_string()}")'''
T2 = '''looks |= {"typical": ("D", "#56b4e9"), "batch norm": ("v", "#ca9161"), "digits": ("h", "#de8f05"), "real": ("*", "#cc78bc")}
fig, axes = plt.subplots(2, 4, figsize=(5.6, 4.4), sharex=True, sharey="row", layout="constrained")
for line, what in zip(axes, ("psnr", "judge")):
    for ax, depth in zip(line, depths):
        for source in teachers:
            values = mean_of.loc[source, what].xs(depth, level="depth").loc[methods]
            ax.plot(range(len(methods)), values, marker=looks[source][0], color=looks[source][1], markersize=4, linewidth=1.2, label=source)
        ax.set(xticks=range(len(methods)))
        ax.set_xticklabels(methods, rotation=90, size=8)
for ax, depth in zip(axes[0], depths):
    ax.set_title(f"from {depth}", size=9.5)
axes[0, 0].set_ylabel("PSNR, dB")
axes[1, 0].set_ylabel("the judge agrees")
fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=3, title="teacher")
plt.show()'''
T3 = '''every = mnist[mnist["method"] == "joint"].pivot_table(index="source", columns="depth", values=["psnr", "judge"])
shown_ = pd.DataFrame({f"PSNR from {d}": every["psnr", d] for d in (2, 4)} | {f"judge from {d}": every["judge", d] for d in (2, 4)})
print("all ways together, every teacher:\\n" + shown_.sort_values("judge from 4", ascending=False).round(2).to_string())
free = shown_.drop(index="real")
print("\\nbest without real images of the set, by the judge:", free.drop(index=["digits", "fashion_mnist"])["judge from 4"].idxmax())'''
T4 = '''last = mnist[mnist["depth"] == 4]
longest = last[last["method"] == "long"].groupby("source")
print("five times the steps, from the penultimate features:\\n" + longest[["agreement", "judge", "psnr", "ssim"]].mean().round(3).to_string())
print("\\nleast of the seeds:\\n" + longest[["agreement", "judge"]].min().round(3).to_string())
for source in nil.zeroshot.LONG:
    rows = last[(last["method"] == "long") & (last["source"] == source)]
    print(f"{source:18s} agreement of .99 or more, mean of the seeds: {rows['agreement'].mean() >= 0.99!s:5}   judge, .95: {rows['judge'].mean() >= 0.95}")'''
T5 = '''ways_ = {"one pass, strokes": ("strokes", "joint"), "one pass, typical": ("typical", "joint")} | {r: ("none", r) for r in nil.zeroshot.RIVALS}
rows = []
for name, (source, method) in ways_.items():
    here = mnist[(mnist["source"] == source) & (mnist["method"] == method)].groupby("depth")
    rows.append(here[["psnr", "judge", "image_ms"]].mean().unstack().rename(name))
price = pd.DataFrame(rows)
for what, digits_ in (("psnr", 1), ("judge", 2), ("image_ms", 2)):
    print(f"{what}, by depth:\\n{price[what].round(digits_).to_string()}\\n")
faster = price.loc["descent", "image_ms"] / price.loc["one pass, typical", "image_ms"]
print("one pass is faster than five hundred steps by a factor of:", ", ".join(f"{x:.0f}" for x in faster), " at least 200 at every depth:", bool((faster >= 200).all()))'''
