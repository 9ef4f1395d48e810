import sys, nbformat
p="/work/main/book/15-direct-inversion.ipynb"
nb=nbformat.read(p,4)
def cell(start):
    found=[c for c in nb.cells if c.source.startswith(start)]; assert len(found)==1,(start,len(found)); return found[0]
def rep(c,a,b):
    assert c.source.count(a)==1,(a,c.source.count(a)); c.source=c.source.replace(a,b)
c=cell("class Told:")
rep(c,'''print("from three, its own original of the 20, of the inversions: 6 in 10 at once:", bool(at_once[2, 1] >= 0.6),
      "  8 in 10, told:", bool(told[2, 1] >= 0.8))''','''print("inversions, from three, its own original of 20: 6 in 10 at once:", bool(at_once[2, 1] >= 0.6))
print("                                                8 in 10, told:  ", bool(told[2, 1] >= 0.8))''')
c=cell("(sec-15-both)=")
c.source='''(sec-15-both)=
## Both

So a way back is quick and inexact, told or not, and the search exact where it begins well, and lost where it does not. But who says that a search has to begin with grey? Let it begin *with what has come back*, and take steps from there that are short and fade out: `inverse.refined(a)`, eight rounds of telling and then twenty-five steps, unless told otherwise. What still contradicts the representation will be mended. What the teacher has filled in, where the representation says nothing, will be left as it is, since no step has a reason to touch it.'''
c=cell('way, ns, one_each = ways["inversions"]')
rep(c,'[back(way, one_each, d)] + [way.refined','[way.corrected(a, d)] + [way.refined')
rep(c,'"from what the pass returns"','"from what has come back"')
c.source=c.source.replace("from_pass","from_back")
f=c.metadata["mystnb"]
f["figure"]["caption"]="Ten digits of another hand from each depth, by a search that begins with grey and by one that begins with what has come back, by a pass that was told eight times what was wrong. From one block deep both are exact in the end, and from three and four it depends on the beginning whether there is an image at all."
c=cell('print("after 500, ahead by 5 dB')
rep(c,"""print("\\n25 steps   2 dB more   network: .05 more   judge: .10 more")""","""print("\\n25 steps   2 dB more   of what the network misread half mended   judge: fewer")""")
a=c.source.index("for d in depths:")
c.source=c.source[:a]+"""for d in depths:
    a = way.representations(framed)[d - 1].detach()
    parts = [way.corrected(a, d), way.refined(a, d)]
    before, after = (psnr(made.flatten(1), framed.flatten(1)) for made in parts)
    wrong = [[(net(made).argmax(1) != net(framed).argmax(1)).sum().item() for made in parts] for net in (classifier, judge)]
    mended, fewer = wrong[0][1] <= wrong[0][0] / 2, wrong[1][1] < wrong[1][0]
    print(f"from {d}     {bool(after - before > 2)!s:11} {mended!s:39} {fewer}")"""
c=cell('deep = nil.experiments.load_results("deep")')
rep(c,'print("ResNet-20, test accuracy:", round(record["test_accuracy"], 3), "  seeds:", deep.groupby("source")["seed"].nunique().to_dict())','print("ResNet-20, test accuracy:", round(record["test_accuracy"], 3))\nprint("seeds:", deep.groupby("source")["seed"].nunique().to_dict())')
a=c.source.index("whats = {")
c.source=c.source[:a]+"""whats = {"psnr": "PSNR, dB", "ssim": "SSIM", "agreement": "the network agrees", "judge": "the judge agrees"}
ways_to = {"": "once", "corrected_": "told", "refined_": "+ 25"}
by_depth = deep.groupby(["source", "depth"]).mean(numeric_only=True)
sources = [s for s in nil.deep.SOURCES if s in by_depth.index]
after = pd.Index([*by_depth.loc["real", "convolutions"].astype(int)[:10], "mean"], name="conv.")
for what, title in whats.items():
    rows = {(s, name): by_depth.loc[s, how + what] for s in sources for how, name in ways_to.items()}
    rows = pd.DataFrame(rows).round(1 if what == "psnr" else 2).set_index(after)
    print(f"\\n{title}, after so many convolutions:\\n{rows.to_string()}")"""
c=cell('fig, axes = plt.subplots(1, 3, figsize=(5.6, 2.7), layout="constrained")\nmarks')
rep(c,"""        ax.plot(rows["convolutions"], rows[what], marker=marks[source][0], color=marks[source][1], markersize=5, label=source)
""","""        marker, color = marks[source]
        ax.plot(rows["convolutions"], rows[what], marker=marker, color=color, markersize=5, label=source)
        ax.plot(rows["convolutions"], rows["corrected_" + what], "--", marker=marker, color=color, markersize=3, linewidth=1)
""")
c=cell("free = [s for s in sources if s != \"real\"]")
a=c.source.index("gaps = ")
c.source=c.source[:a]+"""real_once = by_depth.loc["real", "psnr"]
gaps = {(s, name): real_once - by_depth.loc[s, how + "psnr"] for s in free for how, name in ways_to.items()}
gaps |= {(s, "both told"): by_depth.loc["real", "corrected_psnr"] - by_depth.loc[s, "corrected_psnr"] for s in free}
gaps = pd.DataFrame(gaps).loc[:3].T
print("PSNR behind real images at once, first three blocks, in dB:\\n" + gaps.round(2).assign(**{"3 at most": (gaps <= 3).all(axis=1)}).to_string())
same = {(s, name): by_depth.loc[s].loc[[5, 6, 10, 11], how + "agreement"] for s in sources for how, name in ways_to.items()}
same = pd.DataFrame(same).T
same.columns = ["9", "11", "19", "mean"]
same["9 and 11: .95"], same["then: .85"] = same[["9", "11"]].min(axis=1) >= 0.95, same[["19", "mean"]].min(axis=1) >= 0.85
print("\\nagreement after so many convolutions:\\n" + same.round(3).to_string())
costs = -by_depth["psnr"].unstack("source").loc[:10].diff()
print("\\nthe two strides cost most of all blocks:", {s: set(costs[s].nlargest(2).index) == {5, 8} for s in sources})
spans = {name: by_depth[how + "image_ms"].loc["real"].agg(["min", "max"]).round(1).tolist() for how, name in ways_to.items()}
print("milliseconds an image, from the first depth to the dearest:", spans)"""

c=cell('fig, axes = plt.subplots(1, 3, figsize=(5.6, 2.7), layout="constrained")\nmarks')
rep(c,'title="teacher")','title="teacher; dashed: told eight times")')
f=c.metadata["mystnb"]
f["figure"]["caption"]="What comes back from ever deeper in a ResNet-20: in one pass, and, dashed, by a pass that was told eight times what was wrong. The dotted lines are the two convolutions that halve the image."
f["image"]["alt"]="Three charts of falling lines over one to nineteen convolutions. PSNR in one pass falls gently to the first dotted line, at eight, then by several decibels at once, and again at the second, at fourteen. The dashed lines begin ten decibels higher and hardly fall before the first dotted line; after it they are a little above the others, and after the second one with them. Agreement of the network and of the judge fall likewise, and are a little higher dashed."
c=cell("(sec-15-both)=")
c=cell("The search was not at fault")
c.source="""The search was not at fault, and nor was the representation: it was the grey. Begun well, the same search is exact after two blocks, comes back from *three*, where it had been static, and has the better image even after four. And it need not run to its end. Twenty-five steps, a small part of the price, mend at every depth half or more of what the network still misread, and the judge, who was not asked, misreads fewer as well. That the network's answers come back alone would mean little, as we have seen; that the judge's come with them means more. From four blocks, though, PSNR hardly moves with either, and we shall come back to that.

So there are three ways to use a way back: as an answer, at once and for a thousand telephones; told what was wrong, for some ten times the price; and as a good place to begin. What follows has the answer at once, unless we say otherwise."""
c=cell("(sec-15-deep)=")
rep(c,"(`every_depth=False`).","""(`every_depth=False`).

Each depth appears three times: one pass, `once`; `told` eight times what was wrong; and twenty-five steps of search from there, `+ 25`.""")
c=cell("Not a slope: a staircase.")
rep(c,"""Seven convolutions cost three to five decibels in all, and the photographs come back with ways that have never seen a photograph. Then comes one convolution with a stride, and more is gone at once than the whole first stage has cost; then two units for next to nothing; and then the second stride.""",
"""Seven convolutions cost three to five decibels in all, and the photographs come back with ways that have never seen a photograph; told what was wrong, even from the last of the seven at forty decibels, with pixels that are off by a hundredth of their range. Then comes one convolution with a stride, and more is gone at once than the whole first stage has cost; then two units for next to nothing; and then the second stride.""")
c=cell("We had set ourselves three goals for this network.")
c.source="""We had set ourselves three goals for this network. *Without data at most three decibels behind real images, in the first three blocks:* met in one pass where the network's own inversions are among the teachers; with drawn images alone so close to the line, from the second block on, that one seed cannot decide it. *After all nineteen convolutions the network reads 85 in a hundred as before:* after the mean, met by every way that has been taught by inversions or by real images, and we have just seen how little that says; before it, by one pass with real images alone, by a pass that is told also with inversions, and after twenty-five steps by all. *After ten layers 95 in a hundred:* missed by one pass and missed by telling, with every teacher, real images included; with twenty-five steps after it met. (No block ends after ten, so we look after nine and eleven.) This network notices what we should not: one convolution deep, at well over thirty decibels, it already reads a few in a hundred otherwise.

What telling brings depends on the plateau. On the first it is seven to twelve decibels, and a thing that we had not expected: *the teachers no longer matter much*. Ways that have never seen a photograph, told what was wrong, are far ahead of ways that have learned on photographs and are not told; and when those are told as well, they are less than a decibel ahead, or one and a half of drawn images alone. Where there are four equations for each unknown, a teacher's mistakes can all be heard, and be mended by asking again. On the second plateau telling brings two to four decibels to the dataless ways, and about one and a half to the others. On the third there is nothing in it. The network's answers get better there, too, and the images do not; those of the ways that real images have taught even lose a little."""
c.source+="""

The steps of {ref}`the search <sec-15-both>` mend what contradictions are left. One convolution deep they are worth another nine decibels. On the second plateau they are worth less than one, which nobody sees, and yet nearly all that the network had read otherwise it now reads as before; and the judge, who was not asked, goes along.

Mind the last rows, though. On the third plateau, and from the mean over all places, the judge goes along as well, and *there is no decibel in it*: the images are as far from the originals as before, at the end mere sheets. A judge is a network, too, and what persuades one may persuade another. We have trusted it so far where PSNR went along; here it does not, and we do not.

(How many seeds stand behind each number is in the table's first lines. Where it is one, a difference of a hundredth is noise.)"""
c=cell("## Summary")
rep(c,"The best place for a search to begin is what one pass has returned, and a few steps","The best place for a search to begin is what has come back, and a few steps")
rep(c,"Before the first there are four equations for each unknown, and after the second less than one.","Before the first there are four equations for each unknown, and a way back that is told what was wrong returns nearly the photograph, whoever has taught it; after the second there is less than one equation, and telling is of no use.")
nbformat.write(nb, sys.argv[1])
