import { Table } from './index.js';
import { find4 } from './prefix-map.js';
import { lookup4 } from './lookup.js';
import * as R from '@rulecast/rules';
function rng(s){return ()=>{s=(s+0x9e3779b9)|0;let w=Math.imul(s^(s>>>16),0x21f0aaad);w=Math.imul(w^(w>>>15),0x735a2d97);return (w^(w>>>15))>>>0;}}
const next=rng(1); const n=1000000; const w=new Uint32Array(n); for(let i=0;i<n;i++)w[i]=next(); const col=R.canonicalPrefixes({family:4,words:w,lengths:new Uint8Array(n).fill(32)});
const addrs=new Int32Array(1<<20); for(let i=0;i<addrs.length;i++) addrs[i]= next();
const hit=new Int32Array(1<<20); for(let i=0;i<addrs.length;i++) hit[i]= i&1?next():col.words[next()%col.words.length];
const b=new R.RunBuilder(); b.push({action:'drop',proto:undefined,dns:false,ports:undefined,icmpType:undefined,expire:undefined,comment:undefined,remote:{kind:'list',list:'a'}});
const rs={lists:new Map([['a',R.prefixListOf({v4:col,v6:R.emptyPrefixes(6)})]]),policies:new Map([['default',{...R.emptyPolicy('default'),defaultAction:'accept',egress:b.build()}]]),resolutions:new Map()};
const t=new Table(); t.flip(t.prepare(rs,{now:0,dns:[]}));
const image=t.current.image;
const N=addrs.length; let sum=0;
for (const [an,A] of [['miss',addrs],['half',hit]]) {
for (const [nm,f] of [['find4',(a)=>find4(image.destination4,a)],['lookup4',(a)=>lookup4(image,0,5,a,6,443)],['find4 again',(a)=>find4(image.destination4,a)]]) { let best=1e9; for(let k=0;k<5;k++){const s=performance.now(); for(let i=0;i<N;i++) sum+=f(A[i]); best=Math.min(best,performance.now()-s);} console.log(an,nm,(N/best/1e3).toFixed(1)); } }
