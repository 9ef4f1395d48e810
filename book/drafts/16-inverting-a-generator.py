import nbformat
from nbformat.v4 import new_notebook, new_markdown_cell as M, new_code_cell as K
C=[]
def md(s): C.append(M(s.strip("\n")))
def code(s,tags=None,cap=None,name=None,alt=None):
    meta={}
    if tags: meta["tags"]=tags
    if name: meta["mystnb"]={"figure":{"caption":cap,"name":name},"image":{"alt":alt}}
    C.append(K(s.strip("\n"),metadata=meta))

md(r'''
# Inverting a generator

[Open in Colab](https://colab.research.google.com/github/netinv-lite/netinv_lite/blob/main/book/16-inverting-a-generator.ipynb)
· <!-- cost -->not yet measured<!-- /cost --> · no GPU, no download

**What you will be able to show**

- that a generator of images is a network like any other, and that its blocks can be gone back through, from the picture to the code that it was drawn from;
- by counting equations, that here *nothing is lost*, and the first of its blocks solved exactly;
- the code found in one pass, the picture drawn again from it, and the same by a search of five hundred steps;
- samples with noise and with holes, drawn again from what was found: what comes back, by two witnesses, and what a control without any inversion gives;
- why all of this holds for a generator's own samples, and what becomes of a photograph.
''')
code('''
try:
    import netinv_lite as nil
except ImportError:  # on Colab: the module and the weights it ships
    %pip install -q git+https://github.com/netinv-lite/netinv_lite
    import netinv_lite as nil
import matplotlib.pyplot as plt
import torch

nil.plot.style()
print(nil.about())
''',["setup","nbval-ignore-output"])
md(r'''
(sec-16-code)=
## A picture and its code

A *generative adversarial network* {cite:p}`goodfellow2014generative` consists of two. A generator $g$ turns a {term}`code` $z$, sixty-four numbers drawn from the normal distribution, into a picture. A discriminator looks at pictures, some of them real and some of them made, and has to say which is which; and the generator is trained until it cannot. Of the two only the first is of interest afterwards. It has seen
sixty thousand pictures of clothes, and can draw as many that nobody has ever worn.

Somebody hands you such a picture. Which sixty-four numbers was it drawn from? Whoever knows them can change the picture: a little more of this, a little of that other one. And whoever can only find the nearest picture that the generator *could* have drawn has a way to mend a damaged one.

This is inversion once more, only that what is inverted is not a classifier. The chapter before this one has all we need: a network, cut into shallow blocks, and a way back learned for each {cite:p}`dong2021reversible`. The network is a small DCGAN {cite:p}`radford2016unsupervised` of Fashion-MNIST, in a frame of 32 pixels a side, which ships with the book.
''')
code('''
from netinv_lite import recovery
from netinv_lite.shipped_gan import load_gan, unframed
from torch.nn import functional as F

metrics, direct = nil.metrics, nil.direct
gan, judge = load_gan("fashion_mnist"), nil.load_judge("fashion_mnist")
g, discriminator = gan.generator, gan.discriminator
print(gan.record["command"], "|", gan.record["train_images"], "images,", gan.record["training"]["epochs"], "epochs")
z = gan.latents(200, torch.Generator().manual_seed(0))  # (200, 64, 1, 1)
with torch.no_grad():
    x = g(z)  # (200, 1, 32, 32)
''')
code('''
def show(rows):
    """Rows of images, (name, (N, 1, 32, 32)), one under the other."""
    fig, axes = plt.subplots(len(rows), len(rows[0][1]), figsize=(5.4, 0.56 * len(rows)), layout="constrained")
    for line, (name, images) in zip(axes.reshape(len(rows), -1), rows):
        for ax, image in zip(line, images):
            ax.imshow(image[0], cmap="gray", vmin=-1, vmax=1)
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name, rotation=0, ha="right", va="center", size=9)
    plt.show()


show([("", x[i : i + 10]) for i in (0, 10, 20)])
''',cap="Thirty pictures that the generator draws from thirty codes.",name="fig-16-samples",alt="Three rows of ten small grey pictures on black: shirts, trousers, dresses, bags, shoes and boots, soft at the edges; a few of them are blots of no clear kind.")
md(r'''
(sec-16-count)=
## Counting again

In {ref}`Chapter 15 <sec-15-linear>` a layer kept the image as long as it stated as many equations as there were pixels. A classifier has every reason to state fewer: it is to forget. A generator has not.
''')
code('''
with torch.no_grad():
    h, sizes = z, [z[0].numel()]
    for i, block in enumerate(g, 1):
        h = block(h)
        sizes.append(h[0].numel())
        on = (h > 0).double().flatten(1).mean(1) if i < len(g) else torch.ones(1)
        print(f"after block {i}: {sizes[-1]:5d} numbers, {tuple(h.shape[1:])}, of which are on: at least {on.min():.0%}")
''')
md(r'''
Sixty-four numbers become 2,048, of which a good part is on; only the last block, from 8,192 rectified numbers to 1,024 pixels, has to be gone back through without as many equations as unknowns, and even there the unknowns are far fewer than they look: all of them are functions of sixty-four.

So at least the first block can be solved to the last digit. It is a linear map, a normalisation, which is linear once it is trained, and a rectifier; and where the rectifier lets something pass, it states an equation.
''')
code('''
first = g[0].double()  # a transposed convolution of one pixel, a normalisation, a rectifier
with torch.no_grad():
    zero = first[:2](torch.zeros(1, 64, 1, 1).double()).flatten()  # affine: b, and b + the columns of W
    W = (first[:2](torch.eye(64).double().view(64, 64, 1, 1)).flatten(1) - zero).T  # (2048, 64)
    a = first(z.double()).flatten(1)
solved = torch.stack([torch.linalg.lstsq(W[h > 0], (h - zero)[h > 0, None], driver="gelsd").solution[:, 0] for h in a])
print("the first block, solved by its units that are on: the code to eight digits:", torch.allclose(solved, z.double().flatten(1), atol=1e-8))
first.float()
s = torch.linalg.svdvals(W)
print("the most and the least that a code is stretched are within a factor of:", "10" if s[0] < 10 * s[-1] else "100" if s[0] < 100 * s[-1] else "more")
''')
md(r'''
(sec-16-way)=
## The way back

There is a second reason for hope. Of a classifier one knows the answers, and not the images that it will be asked about; all the trouble of the last chapter was *what to learn on*. Of a generator one knows the input: it is drawn from the normal distribution, by the million if one likes. The generator writes its own textbook.

Otherwise nothing is new. The "image" of {eq}`eq-15-loss` is now the code, of shape $64 \times 1 \times 1$; the {term}`cycle` goes from the code that was found through all blocks to the picture. The function is the same as well.
''')
code('''
config = direct.DirectConfig(steps=60, joint=240, batch_size=64, width=16)
inverse = direct.invert_layers(g, list(g), data=gan.latents, config=config, seed=0, progress=False)


def drawn_again(pictures, way=inverse):
    """The code that one pass finds for each picture, and what the generator draws from it."""
    with torch.no_grad():
        found = torch.cat([way(some) for some in pictures.split(100)])
        return found, g(found)


found, again = drawn_again(x)
cosine = F.cosine_similarity(z.flatten(1), found.flatten(1))
psnr = recovery.by_image(again, x)
show([("sample", x[:10]), ("again", again[:10])])
''',cap="Samples, and what the generator draws from the codes that one pass has found for them.",name="fig-16-again",alt="Two rows of ten pieces of clothing. The lower row repeats the upper one nearly in every detail.")
nb=new_notebook(cells=C,metadata={"kernelspec":{"display_name":"Python 3","language":"python","name":"python3"},"language_info":{"name":"python"}})
nbformat.write(nb,"/tmp/d16.ipynb")
